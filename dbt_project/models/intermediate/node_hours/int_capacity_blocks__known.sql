{{ config(materialized='incremental') }}

with

fees as (

    select * from {{ ref('stg_cur__capacity_block_fees') }}

),

reservations as (

    select * from {{ ref('stg_cur__capacity_reservations') }}

),

charged as (

    select
        billing_month,
        payer_account_id,
        capacity_reservation_id,
        fee_month,
        min(usage_account_id) as owner_account_id,
        max(region_code) as region_code,
        max(instance_type) as instance_type,
        sum(unblended_usd)::decimal(38, 10) as amortized_usd,
        sum(net_unblended_usd)::decimal(38, 10) as net_amortized_usd
    from fees
    group by billing_month, payer_account_id, capacity_reservation_id, fee_month

),

-- A fee, and a refund, is spread over what of the block lies after the month that billed
-- it began: months that are closed stay as they are.
final as (

    select
        charged.billing_month,
        charged.payer_account_id,
        charged.capacity_reservation_id,
        charged.fee_month,
        charged.owner_account_id,
        coalesce(charged.region_code, reservations.region) as region_code,
        coalesce(reservations.instance_type, charged.instance_type) as instance_type,
        reservations.instance_count,
        reservations.starts_at,
        reservations.ends_at,
        greatest(reservations.starts_at, charged.fee_month::timestamp) as spread_from,
        coalesce(reservations.source, 'bill') as source,
        charged.amortized_usd,
        charged.net_amortized_usd
    from charged
    left join reservations
        on
            charged.billing_month = reservations.billing_month
            and charged.capacity_reservation_id = reservations.capacity_reservation_id
            and reservations.ends_at is not null
            and reservations.instance_count > 0

)

select * from final
