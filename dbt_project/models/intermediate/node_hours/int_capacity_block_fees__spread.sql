{{ config(materialized='incremental') }}

with

blocks as (

    select * from {{ ref('int_capacity_blocks__known') }}

),

seen_blocks as (

    select distinct
        billing_month,
        payer_account_id,
        capacity_reservation_id
    from {{ ref('int_capacity_blocks__used') }}

),

-- Fees on this month's bill that hours of their block carry, in this month or a later one.
-- A fee that no hour can carry stays what was billed.
final as (

    select
        blocks.billing_month,
        blocks.payer_account_id,
        blocks.capacity_reservation_id,
        blocks.source,
        blocks.amortized_usd,
        blocks.net_amortized_usd
    from blocks
    left join seen_blocks
        on
            blocks.billing_month = seen_blocks.billing_month
            and blocks.payer_account_id = seen_blocks.payer_account_id
            and blocks.capacity_reservation_id = seen_blocks.capacity_reservation_id
    where
        blocks.fee_month = blocks.billing_month
        and (
            blocks.spread_from < blocks.ends_at
            or (
                blocks.source = 'bill' and seen_blocks.capacity_reservation_id is not null
            )
        )

)

select * from final
