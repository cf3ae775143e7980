with

{{ billed_payers() }},

unsized as (

    select
        billing_month,
        payer_account_id,
        count(*) as block_count,
        sum(abs(amortized_usd)) as amortized_usd,
        min(capacity_reservation_id) as example
    from {{ ref('int_capacity_block_fees__spread') }}
    where source = 'bill'
    group by billing_month, payer_account_id

),

{{ none_of_payers(
    'unsized', 'block_count', 'unsized.amortized_usd',
    "Capacity Blocks whose size neither EC2 nor a file says; their fees are carried by the hours that were seen",
) }}

select * from final
