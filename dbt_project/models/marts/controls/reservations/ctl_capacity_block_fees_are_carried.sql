with

{{ billed_payers() }},

uncarried as (

    select
        billing_month,
        payer_account_id,
        count(distinct capacity_reservation_id) as block_count,
        sum(abs(amortized_usd)) as amortized_usd,
        min(capacity_reservation_id) as example
    from {{ ref('int_bill_charges') }}
    where is_capacity_block_fee and amortized_usd <> 0
    group by billing_month, payer_account_id

),

{{ none_of_payers(
    'uncarried', 'block_count', 'uncarried.amortized_usd',
    "Capacity Blocks with a fee that no hour carries, which stays what was billed",
) }}

select * from final
